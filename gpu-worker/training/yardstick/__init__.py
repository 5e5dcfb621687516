"""The strict yardstick: the matcher of drawings, and how far verdicts agree with the truth and with people."""
