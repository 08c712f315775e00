"""The report for a helper and the metrics, in the dashboard over HTTP and a real daemon."""

from __future__ import annotations

import io
import json
import zipfile

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.processes import Home
from support.servers import StrictServer
from ui.http_visit import plain_browser, text_of

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_report_is_shown_and_downloaded(signed_in: Home, strict: StrictServer) -> None:
    """The page shows each file of the zip as text; neither holds the token or the text of a synced file."""
    (signed_in.path / "config.toml").write_text(f"# {strict.token} {HOSTILE}\n")
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        health = browser.get("/health")
        assert 'href="/health/bundle"' in health and 'href="/metrics"' in health
        page = browser.get("/health/bundle")
        answer = browser.client.get(f"{browser.origin}/health/bundle.zip")
        assert answer.headers["content-disposition"] == 'attachment; filename="raven-agent-report.zip"'
        assert answer.headers["content-type"] == "application/zip" and answer.headers["cache-control"] == "no-store"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist()}
        assert set(texts) == {"doctor.json", "versions.json", "status.json", "config.toml", "agent.log"}
        assert json.loads(texts["status.json"])["sources"][0]["root"] == str(signed_in.folder)
        assert all(name in text_of(page) for name in texts)
        assert f"# [token] {HOSTILE}" in texts["config.toml"] and HOSTILE in text_of(page)
        assert strict.token not in page + "".join(texts.values()) and "<img" not in page
        again = signed_in.folder.parent / "report.zip"
        assert signed_in.run("doctor", "--bundle", again).code in (0, 1)
        with zipfile.ZipFile(again) as archive:
            assert set(archive.namelist()) == set(texts)


def test_metrics_are_those_of_the_control_socket(signed_in: Home) -> None:
    """The page sends them as plain text, and names the request that other programs make."""
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        answer = browser.client.get(f"{browser.origin}/metrics")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        found = {family.name for family in text_string_to_metric_families(answer.text)}
        assert {"raven_agent_build", "raven_agent_source_files", "raven_agent_server_state"} <= found
        assert "http://agent/metrics" in browser.get("/health")
        licences = browser.client.get(f"{browser.origin}/static/vendor/LICENSES.txt")
        assert licences.headers["content-type"].startswith("text/plain") and "htmx" in licences.text
