"""Which files of weights lie between a video and the features of YouTube-8M.

In: nothing. Out: their names in the table of weights. Does not look for them.
"""

NEEDED_WEIGHTS = ("inception-2015", "yt8m-pca-mean", "yt8m-pca-eigenvals", "yt8m-pca-eigenvecs", "vggish", "vggish-pca")
