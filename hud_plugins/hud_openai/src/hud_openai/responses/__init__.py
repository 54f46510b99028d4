"""Agents on the Responses API."""
