"""The resolver: bundle -> (team ->) environment, over one published table. Pure, and on the launch path."""
