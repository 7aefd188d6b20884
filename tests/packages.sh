# Sourced: the packages that are built with all features. Every script selects the same ones, the Python package among them,
# because what packages share is compiled once for each selection.
packages=(-p gristmill -p gristmill-bulk-tests -p gristmill-gpu-tests -p gristmill-model-tests -p gristmill-python)
