//! A fault at every step by which a command changes something, and at a sample of each kind of step with the programs that really filter.

fw_tests::all_or_nothing!(every_step: Trivial, Every);
fw_tests::all_or_nothing!(real_programs: Real, EndsOfEachKind);
