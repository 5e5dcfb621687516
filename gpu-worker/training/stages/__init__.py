"""The trainings of codebook, quantiser, generator, detector and fault finder; each file is a command."""
