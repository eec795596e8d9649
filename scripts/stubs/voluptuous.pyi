# What Home Assistant gives to a custom integration that imports voluptuous.
from probatio import *
