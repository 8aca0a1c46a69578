"""The seeds of the evaluation, written down before anything was tuned and never chosen by a result.

What is tuned (a detector's thresholds, a baseline's) may look at the tuning platforms and the tuning trials; what is
reported comes from the evaluation's. A platform's seed decides its corridors, its habits and its year; a month's or a
trial's decides the chance within. No number occurs in both lists, and the two kinds of run never share a stream.
Platforms 9001 to 9010 and trials from 50000 on were evaluated once, found wanting, and so are spent: what was changed
after that was changed on the tuning seeds alone and is evaluated on these.
"""

TUNING_PLATFORMS = (101, 102, 103, 104)
TUNING_TRIALS = range(1_000, 2_000)  # the n-th trial of a kind and stratum takes the n-th
EVALUATION_PLATFORMS = (19_001, 19_002, 19_003, 19_004, 19_005, 19_006, 19_007, 19_008, 19_009, 19_010)
EVALUATION_TRIALS = range(70_000, 71_000)

FIT_DAYS = 28  # quiet days that each platform is fitted on, from its first instant
FIT_FEED = 1  # the seed of the feed of those days
MONTHS_FEED = 2  # and of the months after them, which are judged
FIRST_JUDGED_DAY = FIT_DAYS + 2  # a whole number of months from the first instant, so that pay-days stay in step
