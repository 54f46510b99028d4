"""What code written for the reference SDK imports from here."""
