"""Class names, colours and id tables of the data sets, one module per data set; plain constants."""
