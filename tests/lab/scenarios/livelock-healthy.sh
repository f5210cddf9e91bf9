# Busy at their limits and healthy, side by side for 60 s: nobody is killed, and no entry speaks of a livelock.
# suites: bookworm trixie
healthy_for 55
