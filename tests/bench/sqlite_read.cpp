// SPDX-License-Identifier: MIT
// sqlite.read: a stream of 1,000 events of 256 bytes, read whole; and everything, by pages, of a file with 300,000
// events in 1,000 streams (or as many as are named), as a projection would. peak_mib: what the process came to hold.

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <omnibus/event_store/sqlite.hpp>

#include "bench.hpp"

namespace ob = omnibus;

namespace {

void fill(ob::SqliteEventStore& store, std::size_t events, std::size_t streams) {
  constexpr std::size_t batch = 1'000;
  const std::string payload(256, 'x');
  for (std::size_t at = 0; at < events; at += batch) {
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < batch; ++i) ids.push_back((streams == 1 ? "0193c7a0" : "0193c7a1") +
                                                       ("-0000-7abc-8def-" + std::to_string(1'000'000'000 + at + i)));
    std::vector<std::string> names;
    std::vector<ob::NewEvent> made;
    for (std::size_t i = 0; i < batch; ++i) {
      names.push_back("order-" + std::to_string(i % streams));
      made.push_back({ids[i], "OrderPlaced", payload});
    }
    std::vector<ob::StreamAppend> parts;
    if (streams == 1) {
      parts.push_back({"alone-1", {}, made});
    } else {
      for (std::size_t i = 0; i < batch; ++i) parts.push_back({names[i], {}, {&made[i], 1}});
    }
    (void)store.append(parts).value();
  }
}

struct Figures {
  double events_a_second;
  double cpu_us;
};

template <class Read>
Figures measure(Read read) {
  std::vector<double> rates, cpus;
  for (int i = 0; i < 5; ++i) {
    const double cpu = bench::cpu_seconds();
    const bench::Stopwatch watch;
    const std::size_t events = read();
    rates.push_back(static_cast<double>(events) / watch.seconds());
    cpus.push_back((bench::cpu_seconds() - cpu) / static_cast<double>(events) * 1e6);
  }
  return {bench::median(rates), bench::median(cpus)};
}

}  // namespace

int main(int count, char** arguments) {
  const std::size_t events = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 300'000;
  std::string folder = (std::filesystem::temp_directory_path() / "omnibus-bench.XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  {
    ob::SqliteEventStore store{{.path = folder + "/events.db", .durability = ob::Durability::process_crash}};
    fill(store, 1'000, 1);
    fill(store, events, 1'000);
    ob::EventPage page;
    const Figures stream = measure([&] {
      std::size_t read = 0;
      for (int i = 0; i < 100; ++i) {
        (void)store.read_stream("alone-1", {.limit = 1'000}, page).value();
        read += page.size();
      }
      return read;
    });
    const Figures scattered = measure([&] {
      std::size_t read = 0;
      for (int i = 0; i < 100; ++i) {
        (void)store.read_stream("order-" + std::to_string(i), {.limit = 1'000}, page).value();
        read += page.size();
      }
      return read;
    });
    const double before = bench::peak_mib();
    std::uint64_t sum = 0;
    const Figures replay = measure([&] {
      std::size_t read = 0;
      ob::ReadRange range{.from = 1};
      for (bool end = false; !end;) {
        const ob::StoreRead got = store.read_all({}, range, page).value();
        for (const ob::StoredEvent& each : page) sum += each.payload.size() + each.version;
        read += page.size();
        range.from = got.next;
        end = got.end;
      }
      return read;
    });
    bench::print("sqlite.read", {{"stream", stream.events_a_second},
                                 {"stream_cpu_us", stream.cpu_us},
                                 {"scattered", scattered.events_a_second},
                                 {"scattered_cpu_us", scattered.cpu_us},
                                 {"replay", replay.events_a_second},
                                 {"replay_cpu_us", replay.cpu_us},
                                 {"replayed", static_cast<double>(events + 1'000)},
                                 {"peak_mib", bench::peak_mib()},
                                 {"peak_mib_before_replay", before},
                                 {"sum", static_cast<double>(sum)}});
  }
  std::filesystem::remove_all(folder);
}
