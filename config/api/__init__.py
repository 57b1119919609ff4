"""What every API of the project shares. Modules that DRF's settings name import no DRF views:
those read the settings while they are imported.
"""
