//! Which machine this is.

use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;

use crate::host::memory::page_size;

use super::super::incident::schema::Host;

/// The machine and the guard.
pub fn host() -> Host {
    let names = uname().ok();
    let name = |of: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map(|names| of(names).to_string_lossy().into_owned())
    };
    let info = sysinfo().ok();
    Host {
        name: name(nix::sys::utsname::UtsName::nodename),
        kernel: name(nix::sys::utsname::UtsName::release),
        hogwatch: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id(),
        mem_total_bytes: info.map(|info| info.ram_total()),
        swap_total_bytes: info.map(|info| info.swap_total()),
        page_bytes: Some(page_size()),
    }
}

/// Another one at every boot (random(4)).
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
