// SPDX-License-Identifier: MIT
// What an operator does with dead letters, from the command line: list, count, show, redrive,
// discard, on any backend. Without arguments: a tour on the embedded one.
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <omnibus/backends/kafka.hpp>
#include <omnibus/backends/rabbitmq.hpp>
#include <omnibus/backends/redis_streams.hpp>
#include <omnibus/backends/sqlite.hpp>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>

#include "dead_letters/desk.hpp"
#include "dead_letters/options.hpp"

namespace {

const std::map<std::string_view, int (*)(const letters::Options&)> backends{
    {"memory", letters::serve<omnibus::Memory>},
    {"rabbitmq", letters::serve<omnibus::RabbitMq>},
    {"kafka", letters::serve<omnibus::Kafka>},
    {"redis", letters::serve<omnibus::RedisStreams>},
    {"sqlite", letters::serve<omnibus::Sqlite>},
};

}  // namespace

int main(int count, char** arguments) {
  std::signal(SIGINT, [](int) { letters::interrupted = 1; });
  try {
    letters::Options options = letters::parse_options({arguments + 1, arguments + count});
    if (options.command.empty()) options.command = "tour";
    if (options.help) {
      std::cout << letters::usage;
      return 0;
    }
    const auto serve = backends.find(options.backend);
    if (serve == backends.end()) {
      throw std::invalid_argument{"there is no backend \"" + options.backend + "\"; see --help"};
    }
    return serve->second(options);
  } catch (const std::exception& failure) {
    std::cerr << "dead_letters: " << failure.what() << '\n';
    return 2;
  }
}
