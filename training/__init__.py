"""How the shipped descriptor was trained. Nothing of this is needed to run the pipeline."""
