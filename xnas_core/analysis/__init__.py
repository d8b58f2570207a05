"""What a whole search, or several, say: descent, motifs of the front, correlations, hypervolume over evaluations.

Pure functions of SearchViews, with numpy alone. Whatever is random has a seed; every test of significance says what it
assumes. The report and `xnas compare` show what is computed here.
"""
