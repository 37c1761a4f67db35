// SPDX-License-Identifier: MIT
// sqlite.atomic: publish_atomic beside publish_async, in a file; see atomic_bench.hpp.

#include <cstdlib>
#include <string>

#include <omnibus/backends/sqlite.hpp>

#include "atomic_bench.hpp"
#include "sqlite_bench.hpp"

int main(int argc, char** argv) {
  const bench::Folder folder;
  omnibus::EventBus<omnibus::Sqlite> bus{{.endpoint = folder.file("bus.db")}};
  int topics = 0;
  bench::measure_atomic("sqlite.atomic", bus, argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 50'000,
                        [&] { return "orders-" + std::to_string(++topics); });
}
