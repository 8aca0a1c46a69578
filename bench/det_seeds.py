"""The seeds of the evaluation, written down before they are used and never chosen by a result.

What is tuned (a detector's thresholds, a baseline's) may look at the tuning platforms and the tuning trials; what is
reported comes from the evaluation's. A platform's seed decides its corridors, its habits and its year; a month's or a
trial's decides the chance within. No number occurs in both lists, and the two kinds of run never share a stream.
Seeds whose result has led to a change are spent. Platforms 9001 to 9010 with trials from 50000 on: 46 false incidents
in two months. Platforms 19001 and 19002 with trials from 70000 on: 34 in twenty months, of which only the number was
looked at. Platforms 29001 to 29010 with trials from 90000 on: 7 in a hundred months, and weak faults of slow corridors
seen too late (20 % at 6 to 60 a minute: median 283 s, 95th percentile 684 s). Platforms 39001 to 39010 with trials from
110000 on: 19 in a hundred months, and still 607 s. After each, what was changed was changed on tuning seeds alone, of
which there are four platforms since the second.
"""

TUNING_PLATFORMS = (101, 102, 103, 104)
TUNING_TRIALS = range(1_000, 2_000)  # the n-th trial of a kind and stratum takes the n-th
EVALUATION_PLATFORMS = (49_001, 49_002, 49_003, 49_004, 49_005, 49_006, 49_007, 49_008, 49_009, 49_010)
EVALUATION_TRIALS = range(130_000, 131_000)

FIT_DAYS = 28  # quiet days that each platform is fitted on, from its first instant
FIT_FEED = 1  # the seed of the feed of those days
MONTHS_FEED = 2  # and of the months after them, which are judged
FIRST_JUDGED_DAY = FIT_DAYS + 2  # a whole number of months from the first instant, so that pay-days stay in step
