"""How well a score tells harm, on numpy arrays alone: which inputs are harmed, ROC AUC, p-values of mixtures."""
