"""The steps that this project puts into nbgrader's pipelines, one a file; `config` says which stands where."""
