"""Writers: a result document in the formats that other systems read. Each module is one format, a function each."""
