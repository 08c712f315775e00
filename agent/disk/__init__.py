"""Everything that touches the synced folder; imports only ``agent.core``.

Begin with ``fs/protocol`` (the seam to the file system) and ``root`` (the open folder). ``selection/`` decides what is
in scope, ``scan/`` observes it, ``watch/`` reports changes, ``apply/`` changes the folder and owns the trash.
"""
