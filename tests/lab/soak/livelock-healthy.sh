# soak: busy at their limits and healthy, side by side for five minutes: nobody is killed, no entry speaks of a livelock.
# suites: bookworm trixie
healthy_for 300
