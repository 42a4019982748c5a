"""The study: how local spectra evolve in training, and what they say of generalization."""
