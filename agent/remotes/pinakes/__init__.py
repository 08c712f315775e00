"""The Pinakes dialect, built to guessed bodies: paths, methods and statuses are known, and nothing else.

``wire`` has every body and every hash algorithm, so that the real ones can replace them. Begin with ``adapter``.
"""
