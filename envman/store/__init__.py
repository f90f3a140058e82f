"""The store: the root folder with its generations, links, history, table and locks."""
