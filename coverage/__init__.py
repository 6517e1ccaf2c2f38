"""Surface times views: visibility, projection, evidence, effective coverage, fusion."""

if __name__ == "coverage":
    raise ImportError(
        "this folder is viewcov.coverage, not coverage.py: run from another folder, with 'python -P', "
        "or with PYTHONSAFEPATH=1"
    )
