#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::svid::check(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::der::mutate(data, size, max_size, seed)
});
