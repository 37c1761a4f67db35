// SPDX-License-Identifier: MIT
// The order service: order events come in, payments are charged through a gateway that fails now
// and then, every order's state is followed, and every message is accounted for. See
// order_service/.
#include <fmt/format.h>

#include <exception>
#include <map>
#include <omnibus/backends/kafka.hpp>
#include <omnibus/backends/rabbitmq.hpp>
#include <omnibus/backends/redis_streams.hpp>
#include <omnibus/backends/sqlite.hpp>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>

#include "order_service/options.hpp"
#include "order_service/service.hpp"

namespace {

/// The brokers it runs on. A further one is a further line.
const std::map<std::string_view, int (*)(const shop::Options&)> backends{
    {"memory", shop::serve<omnibus::Memory>},
    {"rabbitmq", shop::serve<omnibus::RabbitMq>},
    {"kafka", shop::serve<omnibus::Kafka>},
    {"redis", shop::serve<omnibus::RedisStreams>},
    {"sqlite", shop::serve<omnibus::Sqlite>},
};

int run(const shop::Options& options) {
  if (options.help) {
    fmt::print("{}", shop::usage);
    return 0;
  }
  const auto serve = backends.find(options.backend);
  if (serve == backends.end()) {
    std::string names;
    for (const auto& [name, function] : backends) names.append(" ").append(name);
    throw std::invalid_argument{
        fmt::format("there is no backend \"{}\"; there is:{}", options.backend, names)};
  }
  return serve->second(options);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(shop::parse_options({arguments + 1, arguments + count}));
  } catch (const std::exception& failure) {
    fmt::print(stderr, "order service: {}\n", failure.what());
    return 2;
  }
}
