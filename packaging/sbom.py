"""A software bill of materials in CycloneDX, from the lock: what the packages bring along, with hashes."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import project

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def build(into: Path) -> Path:
    """Write the bill of materials of this version into a folder; returns the file."""
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"{project.NAME}-{project.version()}.cdx.json"
    target.write_text(json.dumps(document(), indent=2) + "\n", "utf-8")
    return target


def document() -> dict[str, Any]:
    """The bill of materials. The same checkout gives the same document."""
    own = _url(project.NAME, project.version())
    pins = list(project.pins())
    content = "\n".join([own, *(f"{pin.name} {pin.version} {' '.join(pin.hashes)}" for pin in pins)])
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(project.epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project.NAME,
                "version": project.version(),
                "description": project.SUMMARY,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": own,
            },
        },
        "components": [_component(pin) for pin in pins],
        "dependencies": [{"ref": own, "dependsOn": [_url(pin.name, pin.version) for pin in pins]}],
    }


def _component(pin: project.Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _url(pin.name, pin.version),
        "name": pin.name,
        "version": pin.version,
        "purl": _url(pin.name, pin.version),
    }
    if pin.source is not None:
        address, digest = pin.source
        # The hash of the source archive; a wheel is built for one platform only.
        archive = {"type": "distribution", "url": address, "hashes": [{"alg": "SHA-256", "content": digest}]}
        component["externalReferences"] = [archive]
    if pin.marker:
        component["properties"] = [{"name": "python:marker", "value": pin.marker}]
    return component


def _url(name: str, version: str) -> str:
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
