// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "certificates.hpp"
#include "chaos.hpp"

// The broker's ports that ask for a password, or speak TLS.

namespace chaos {

using Config = ob::Kafka::Config;

struct SecureCase : Case {
  using Case::Case;
  const std::string user = told_by_broker("OMNIBUS_KAFKA_USER");
  const std::string guest = told_by_broker("OMNIBUS_KAFKA_GUEST");
  const std::string password = told_by_broker("OMNIBUS_KAFKA_PASSWORD");
  const std::string sasl_port = told_by_broker("OMNIBUS_KAFKA_SASL");
  const std::string tls_port = told_by_broker("OMNIBUS_KAFKA_TLS");
  const Certificates made{told_by_broker("OMNIBUS_KAFKA_CERTIFICATES")};

  Config sasl(const std::string& mechanism) const {
    auto config = Broker::config();
    config.endpoint = sasl_port;
    config.sasl = {mechanism, user, password};
    return config;
  }
  Config tls() const {
    auto config = Broker::config();
    config.endpoint = tls_port;
    config.tls = {.on = true,
                  .ca = made.file("ca.pem"),
                  .certificate = made.file("client.pem"),
                  .key = made.file("client.key")};
    return config;
  }
};

}  // namespace chaos
