"""The seeds of the evaluation, written down before anything was tuned and never chosen by a result.

What is tuned (a detector's thresholds, a baseline's) may look at the tuning platforms and the tuning trials; what is
reported comes from the evaluation's. A platform's seed decides its corridors, its habits and its year; a month's or a
trial's decides the chance within. No number occurs in both lists, and the two kinds of run never share a stream.
"""

TUNING_PLATFORMS = (101, 102)
TUNING_TRIALS = range(1_000, 2_000)  # the n-th trial of a kind and stratum takes the n-th
EVALUATION_PLATFORMS = (9_001, 9_002, 9_003, 9_004, 9_005, 9_006, 9_007, 9_008, 9_009, 9_010)
EVALUATION_TRIALS = range(50_000, 51_000)

FIT_DAYS = 28  # quiet days that each platform is fitted on, from its first instant
FIT_FEED = 1  # the seed of the feed of those days
MONTHS_FEED = 2  # and of the months after them, which are judged
FIRST_JUDGED_DAY = FIT_DAYS + 2  # a whole number of months from the first instant, so that pay-days stay in step
