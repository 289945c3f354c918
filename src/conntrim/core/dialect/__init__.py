"""How both dialects spell what the model knows: tables that the parsers read and the emitters write by."""
