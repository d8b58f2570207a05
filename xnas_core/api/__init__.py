"""The custom resource: models, validation, CRD."""
