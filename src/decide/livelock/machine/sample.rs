//! What the machine's files said at one moment.

use std::time::Duration;

use crate::observe::machine::Reclaim;
use crate::observe::parse::Meminfo;

/// The machine's files at one moment. Counters are totals since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineSample {
    /// When, on a clock that only goes forward.
    pub t: Duration,
    /// `full total=` of `/proc/pressure/memory`, in microseconds.
    pub full_total_us: u64,
    /// `pswpin` of `/proc/vmstat`: pages read from swap.
    pub swapped_in: u64,
    /// `workingset_refault_file`: file pages needed again after they were reclaimed.
    pub refault_file: u64,
    /// `pgsteal_anon` + `pgsteal_file`: pages reclaimed, for limits of cgroups too.
    pub steal: u64,
    /// `pgsteal_kswapd` + `pgsteal_direct`: pages reclaimed because the machine had none left.
    pub steal_own: u64,
    /// What all processors together ran programs, in milliseconds (`user` and `nice` of `/proc/stat`).
    pub programs_ms: u64,
    /// What they worked in the kernel, or had nothing to do but wait for a disk, in milliseconds (`system`, `irq`, `softirq`,
    /// `iowait`).
    pub lost_ms: u64,
    /// MemTotal, in bytes.
    pub mem_total: u64,
    /// MemAvailable, in bytes.
    pub available: u64,
    /// SwapTotal, in bytes.
    pub swap_total: u64,
    /// SwapFree, in bytes.
    pub swap_free: u64,
}

impl MachineSample {
    /// From what was read; `available` as the memory guard counts it, in bytes. `None` when it lacks what no kernel with
    /// PSI and swap lacks. Linux < 5.8 does not count what is reclaimed for limits of cgroups: there every page counts as
    /// the machine's own.
    #[must_use]
    pub fn of(reclaim: &Reclaim, meminfo: &Meminfo, available: u64) -> Option<Self> {
        /// `USER_HZ` is 100 (see `CpuTimes`).
        const MS_PER_TICK: u64 = 10;
        let (vmstat, cpu) = (&reclaim.vmstat, &reclaim.cpu);
        let ms = |ticks: &[u64]| ticks.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)).saturating_mul(MS_PER_TICK);
        let steal_own = vmstat.pgsteal_kswapd?.saturating_add(vmstat.pgsteal_direct?);
        let steal = vmstat.pgsteal_anon.zip(vmstat.pgsteal_file).map_or(steal_own, |(a, f)| a.saturating_add(f));
        Some(Self {
            t: reclaim.t,
            full_total_us: reclaim.pressure.full?.total_us,
            swapped_in: vmstat.pswpin?,
            refault_file: vmstat.workingset_refault_file?,
            steal,
            steal_own,
            programs_ms: ms(&[cpu.user, cpu.nice]),
            lost_ms: ms(&[cpu.system, cpu.iowait, cpu.irq, cpu.softirq]),
            mem_total: meminfo.mem_total,
            available,
            swap_total: meminfo.swap_total?,
            swap_free: meminfo.swap_free?,
        })
    }
}
