"""Amounts of money as everywhere: `{{ cost|usd }}`."""

from django import template

from generation.limits import usd

register = template.Library()
register.filter("usd", usd)
