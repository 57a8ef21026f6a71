"""The command line: ``geo4d reconstruct | evaluate | export | doctor``."""
