//! How many instructions `Supervisor::handle` takes for the life of one worker among 10, 1,000 and 10,000: a crash, the next start,
//! online, listening, ready. The number must not grow with that of the workers.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use luster::core::{
    Audience, Effect, Endpoint, Event, ExitStatus, ExitTimeout, HostKind, InstanceId, Layout,
    LifecycleLimits, ListenAddress, Moment, Policy, PoolSpec, Port, Readiness, Request, RequestId,
    RestartOrder, Supervisor,
};

/// So many workers, all ready.
fn serving(workers: u32) -> Supervisor {
    let policy = Policy {
        workers,
        limits: LifecycleLimits::default(),
        readiness: Readiness::Automatic,
        restart: RestartOrder::StopFirst,
        parallel: 1,
        ready_timeout: None,
        start_timeout: None,
        canary: None,
        exit_timeout: ExitTimeout::Default,
        host_kind: HostKind::None,
    };
    let layout =
        Layout { port: Some(Port::Tcp(80)), workers: workers.into(), groups: 1.0, ports_per_group: 1 };
    let spec = PoolSpec { policy, layout, run: "app.js".into(), listen: String::new(), host: String::new() };
    let mut supervisor = Supervisor::new(Moment(0), spec, 1);
    let effects = supervisor.handle(Moment(1), Event::Asked(RequestId(1), Request::Start));
    for instance in started(&effects) {
        comes_up(&mut supervisor, instance);
    }
    // The first large allocation after so many sorts what they have freed, which is the allocator's work.
    drop(black_box(Vec::<u8>::with_capacity(64 << 10)));
    crashes(&mut supervisor, InstanceId(6));
    supervisor
}

/// One that ends by itself, and comes back.
fn crashes(supervisor: &mut Supervisor, instance: InstanceId) {
    let effects =
        supervisor.handle(Moment(9000), Event::Exited(instance, ExitStatus::Signal("SIGKILL".into())));
    for instance in started(&effects) {
        comes_up(supervisor, instance);
    }
}

fn started(effects: &[Effect]) -> Vec<InstanceId> {
    let started = effects.iter().filter_map(|effect| match effect {
        Effect::Spawn(spawn) => Some(spawn.instance),
        _ => None,
    });
    started.collect()
}

fn comes_up(supervisor: &mut Supervisor, instance: InstanceId) {
    let now = Moment(5000);
    for event in [
        Event::Online(instance),
        Event::Listening(instance, Endpoint::new("tcp *:80"), ListenAddress::new("{}")),
        Event::SaidReady(instance, Audience::Luster),
    ] {
        black_box(supervisor.handle(now, event));
        black_box(supervisor.next_wake());
    }
}

#[library_benchmark]
#[bench::of_10(serving(10))]
#[bench::of_1000(serving(1000))]
#[bench::of_10000(serving(10_000))]
fn one_crashes_and_is_back(mut supervisor: Supervisor) -> Supervisor {
    crashes(&mut supervisor, InstanceId(5));
    supervisor
}

library_benchmark_group!(name = handle; benchmarks = one_crashes_and_is_back);
main!(library_benchmark_groups = handle);
