// SPDX-License-Identifier: MIT
// Prints the table of guarantees from the backends' capabilities; with README.md as argument, fails
// unless it contains exactly that table.

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <omnibus/backends/kafka.hpp>
#include <omnibus/backends/rabbitmq.hpp>
#include <omnibus/backends/redis_pubsub.hpp>
#include <omnibus/backends/redis_streams.hpp>
#include <omnibus/backends/sqlite.hpp>
#include <omnibus/omnibus.hpp>

namespace {

/// The backends that are there. A new backend is one more entry.
const std::vector<omnibus::Capabilities> backends{omnibus::Memory::capabilities,
                                                  omnibus::Sqlite::capabilities,
                                                  omnibus::RabbitMq::capabilities,
                                                  omnibus::Kafka::capabilities,
                                                  omnibus::RedisStreams::capabilities,
                                                  omnibus::RedisPubSub::capabilities};

struct Row {
  const char* guarantee;
  bool omnibus::Capabilities::* holds;
};

const std::vector<Row> rows{
    {"what was accepted survives the process", &omnibus::Capabilities::durable},
    {"several processes share one broker", &omnibus::Capabilities::shared},
    {"members of a group share its messages", &omnibus::Capabilities::groups},
    {"unsettled messages come again (at least once)", &omnibus::Capabilities::redelivers},
    {"messages of one key arrive in order", &omnibus::Capabilities::ordered_by_key},
    {"a new group gets what was published before", &omnibus::Capabilities::retains},
    {"delayed publish and redelivery", &omnibus::Capabilities::delays},
    {"start at a position", &omnibus::Capabilities::replay_by_position},
    {"start at a time", &omnibus::Capabilities::replay_by_time},
    {"attempts are counted across redeliveries", &omnibus::Capabilities::counts_attempts},
    {"several messages, for several topics, as one", &omnibus::Capabilities::atomic_publish},
    {"publishing and settling as one transaction", &omnibus::Capabilities::transactions},
};

std::string table() {
  std::string text = "| guarantee |";
  std::string rule = "| --- |";
  for (const auto& backend : backends) {
    text.append(" ").append(backend.name).append(" |");
    rule.append(" --- |");
  }
  text.append("\n").append(rule).append("\n");
  for (const Row& row : rows) {
    text.append("| ").append(row.guarantee).append(" |");
    for (const auto& backend : backends) text.append(backend.*row.holds ? " yes |" : " no |");
    text.append("\n");
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string wanted = table();
  std::fputs(wanted.c_str(), stdout);
  if (argc < 2) return 0;
  std::ifstream file{argv[1]};
  std::ostringstream readme;
  readme << file.rdbuf();
  if (readme.str().find(wanted) != std::string::npos) return 0;
  std::fprintf(stderr, "%s lacks this table, or has another\n", argv[1]);
  return 1;
}
