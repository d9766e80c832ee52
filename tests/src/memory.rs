//! What is in the memory of a process: a search of every page that it has and may write.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const PAGE_BYTES: usize = 4096;
/// How many pages are looked at together.
const RUN_PAGES_MAX: usize = 4096;
/// The longest that is searched for, less one: what lies across two runs is found too.
const OVERLAP_BYTES: usize = 127;

/// How often each of these is in a process's memory; an error where this process may not look.
pub fn count(process: u32, wanted: &[&[u8]]) -> io::Result<Vec<usize>> {
    let (memory, pagemap) =
        (File::open(format!("/proc/{process}/mem"))?, File::open(format!("/proc/{process}/pagemap"))?);
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut found = vec![0; wanted.len()];
    for (start, end) in maps.lines().filter_map(writable) {
        let mut before: Vec<u8> = Vec::new();
        for page in (start..end).step_by(PAGE_BYTES * RUN_PAGES_MAX) {
            let pages = RUN_PAGES_MAX.min((end - page) / PAGE_BYTES);
            let mut bytes = before.split_off(before.len().saturating_sub(OVERLAP_BYTES));
            for at in present(&pagemap, page / PAGE_BYTES, pages)? {
                let mut one = [0; PAGE_BYTES];
                // A page may go while it is looked at.
                drop(memory.read_exact_at(&mut one, (at * PAGE_BYTES) as u64));
                bytes.extend_from_slice(&one);
            }
            count_in(&bytes, wanted, &mut found);
            before = bytes;
        }
    }
    Ok(found)
}

/// Start and end of a mapping that can be written.
fn writable(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ');
    let (range, mode) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    mode.contains('w').then_some((number(start)?, number(end)?))
}

/// Those of these pages that there are.
fn present(pagemap: &File, first: usize, pages: usize) -> io::Result<Vec<usize>> {
    let mut entries = vec![0; pages * 8];
    pagemap.read_exact_at(&mut entries, (first * 8) as u64)?;
    let is_there = |entry: &[u8]| entry.last().is_some_and(|top| top & 0b1100_0000 != 0);
    Ok((first..).zip(entries.chunks(8)).filter(|(_, entry)| is_there(entry)).map(|(page, _)| page).collect())
}

fn count_in(bytes: &[u8], wanted: &[&[u8]], found: &mut [usize]) {
    // The first byte tells nearly all places apart from those that matter.
    let begins: Vec<Option<&u8>> = wanted.iter().map(|text| text.first()).collect();
    let is_begin: Vec<bool> = (0..=u8::MAX).map(|byte| begins.contains(&Some(&byte))).collect();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if is_begin.get(usize::from(*first)) == Some(&true) {
            let each = wanted.iter().zip(found.iter_mut());
            each.for_each(|(text, count)| *count += usize::from(rest.starts_with(text)));
        }
        rest = after;
    }
}
