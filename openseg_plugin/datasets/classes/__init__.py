"""Class names, colours and id tables of the datasets, one module per dataset; plain constants."""
