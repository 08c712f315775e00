#!/bin/bash
# Run as root by the booted machine's own service manager, once a boot. Prints what became true on the console, where
# the test reads it; the machine is switched off at the end, whatever happened.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
patience=$(cat /root/patience 2>/dev/null || echo 1) # an emulated processor is many times slower
say() { echo "TRIAL $*" | tee -a /root/trial.log >/dev/console; }
eventually() { # SECONDS COMMAND...
    local end=$((SECONDS + $1 * patience)); shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 1; done
}
claim() { # SENTENCE COMMAND...
    local sentence=$1; shift
    if "$@" >/run/trial.out 2>&1; then say "ok: $sentence"; return; fi
    say "FAILED: $sentence"
    sed 's/^/  | /' /run/trial.out | tee -a /root/trial.log >/dev/console
    { systemctl --no-pager status raven-hub; user systemctl --user --no-pager status raven-agent
      journalctl --no-pager -n 60; } 2>&1 | tee -a /root/trial.log >/dev/console
    say "end"; systemctl poweroff; exit 1
}
user() { runuser -u ada -- env HOME=/home/ada XDG_RUNTIME_DIR="/run/user/$(id -u ada)" "$@"; }
other() { runuser -u bob -- env HOME=/home/bob "$@"; }
token() { runuser -u raven-hub -- raven-agent hub token --workspace team --user "$1" --data /var/lib/raven-hub; }
pid() { "${@:2}" show --property MainPID --value "$1"; }
in_step() { user raven-agent status --check; }
holds() { # FILE TEXT: what another user's agent gets from the hub
    other raven-agent sync /home/bob/notes && grep -q "$2" "/home/bob/notes/$1"
}
account() { token "$1" | "$2" raven-agent login http://127.0.0.1:8674 --workspace team --token-stdin; }
source_name() { other raven-agent link /home/bob/notes --source notes --yes; }

first_boot() {
    useradd --create-home ada; useradd --create-home bob
    claim "the package installs" dpkg -i /root/older.deb
    claim "the hub is not started by installing it" eval '! systemctl is-active raven-hub && ! systemctl is-enabled raven-hub'
    claim "the hub starts and says that it is ready" systemctl enable --now raven-hub.service
    claim "a user's manager runs without a login" eval 'loginctl enable-linger ada && eventually 120 user systemctl --user show-environment'
    claim "a user logs in to the hub" account ada user
    user mkdir /home/ada/notes; user sh -c 'echo before the reboot > /home/ada/notes/first.md'
    claim "a folder is linked" user raven-agent link /home/ada/notes --yes
    claim "the user's service starts and says that it is ready" user systemctl --user enable --now raven-agent.service
    claim "the file is in step" eventually 120 in_step
    other mkdir /home/bob/notes
    claim "another user logs in" account bob other
    claim "and joins the folder" source_name
    claim "the file came through raven-hub.service" eventually 120 holds first.md 'before the reboot'
    touch /root/rebooted; say "reboot"; systemctl reboot
}

second_boot() {
    claim "the hub is back after the reboot" eventually 120 systemctl is-active raven-hub
    claim "the user's service is back without a login" eventually 180 user systemctl --user is-active raven-agent
    user sh -c 'echo after the reboot > /home/ada/notes/second.md'
    claim "the new file comes through" eventually 120 holds second.md 'after the reboot'
    claim "the old one is still there" grep -q 'before the reboot' /home/bob/notes/first.md
    local hub agent
    hub=$(pid raven-hub systemctl); agent=$(pid raven-agent user systemctl --user)
    claim "an upgrade installs" dpkg -i /root/newer.deb
    claim "the hub runs on, restarted" eval 'eventually 120 systemctl is-active raven-hub && [ "$(pid raven-hub systemctl)" != '"$hub"' ]'
    claim "the user's service runs on, restarted" eval 'eventually 180 user systemctl --user is-active raven-agent && [ "$(pid raven-agent user systemctl --user)" != '"$agent"' ]'
    user sh -c 'echo after the upgrade > /home/ada/notes/third.md'
    claim "files come through after the upgrade" eventually 120 holds third.md 'after the upgrade'
    claim "it is removed" dpkg --purge raven-local-sync
    claim "nothing of it runs" eval '! systemctl is-active raven-hub && ! pgrep -f raven-agent'
    claim "users keep their files and the hub its documents" eval 'grep -q after /home/ada/notes/third.md && test -s /var/lib/raven-hub/hub.db && test -d /home/ada/.local/state/raven-agent'
    say "end"; systemctl poweroff
}

if [ -e /root/rebooted ]; then second_boot; else first_boot; fi
