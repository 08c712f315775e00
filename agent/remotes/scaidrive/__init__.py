"""The ScaiDrive dialect, built to the published documentation: shares, files with ids and versions, any bytes.

``wire`` has every body, ``profile`` every refusal. Begin with ``adapter``.
"""
