"""Procedural vehicles: solids of flat faces, seen from eight sides."""
