//! A sample of the machine as a whole, as it is written.

use std::time::Duration;

use serde::Deserialize;

use crate::decide::livelock::MachineSample;

use super::{Entry, WrittenPressure, WrittenTask};

/// A line as it is written. Keys that are not here are passed over.
#[derive(Deserialize)]
pub(super) struct MachineLine {
    t_ms: u64,
    pressure: WrittenPressure,
    vmstat: WrittenVmstat,
    meminfo: WrittenMeminfo,
    cpu: WrittenCpu,
    largest: Option<WrittenTask>,
}

/// Of `/proc/vmstat`, under its own names.
#[derive(Deserialize)]
struct WrittenVmstat {
    pswpin: u64,
    pgsteal_kswapd: u64,
    pgsteal_direct: u64,
    pgsteal_anon: u64,
    pgsteal_file: u64,
    workingset_refault_file: u64,
}

/// Of `/proc/meminfo`, in bytes.
#[derive(Deserialize)]
struct WrittenMeminfo {
    mem_total: u64,
    mem_available: u64,
    swap_total: u64,
    swap_free: u64,
}

/// Of the first line of `/proc/stat`, in milliseconds.
#[derive(Deserialize)]
struct WrittenCpu {
    user_ms: u64,
    system_ms: u64,
    irq_ms: u64,
    iowait_ms: u64,
}

impl MachineLine {
    pub(super) fn entry(self) -> Entry<MachineSample> {
        let (vmstat, meminfo, cpu) = (&self.vmstat, &self.meminfo, &self.cpu);
        let sample = MachineSample {
            t: Duration::from_millis(self.t_ms),
            full_total_us: self.pressure.full.total_us,
            swapped_in: vmstat.pswpin,
            refault_file: vmstat.workingset_refault_file,
            steal: vmstat.pgsteal_anon.saturating_add(vmstat.pgsteal_file),
            steal_own: vmstat.pgsteal_kswapd.saturating_add(vmstat.pgsteal_direct),
            programs_ms: cpu.user_ms,
            lost_ms: cpu.system_ms.saturating_add(cpu.irq_ms).saturating_add(cpu.iowait_ms),
            mem_total: meminfo.mem_total,
            available: meminfo.mem_available,
            swap_total: meminfo.swap_total,
            swap_free: meminfo.swap_free,
        };
        Entry { t_ms: self.t_ms, sample, largest: WrittenTask::pid(self.largest) }
    }
}
