// SPDX-License-Identifier: MIT
#include <omnibus/event_store/sqlite.hpp>

#include <memory>
#include <string>
#include <vector>

#include <omnibus/event_store/suite.hpp>

#include "catch.hpp"
#include "unit/event_store/temporary_folder.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("sqlite events: the store passes the suite of event stores") {
  const TemporaryFolder folder;
  int files = 0;
  const auto open = [&] {
    return std::make_unique<SqliteEventStore>(SqliteEventStoreOptions{
        .path = folder.file(std::to_string(files)), .durability = Durability::process_crash, .busy_timeout = 20s});
  };
  EventStoreSuite suite{[&] { return ++files, open(); }, open};
  CHECK(suite.run(50, 30) == std::vector<std::string>{});
}
