// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>

// What librdkafka is told: our choices, the fields of the config and the user's properties, checked
// before anything connects. Secrets do not get out of here.

namespace omnibus::kafka {

/// Who we are, to a broker that asks for it by SASL.
struct Sasl {
  std::string mechanism = {};  ///< PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: no SASL
  std::string user = {};
  std::string password = {};
  bool allow_plaintext = false;  ///< send a password of PLAIN without TLS, to other machines too
};

/// What secures connections. The broker's certificate and the host's name in it are checked.
struct Tls {
  bool on = false;
  std::string ca = {};            ///< a file of certificates that are trusted; empty: the system's
  std::string certificate = {};   ///< a file with the client's certificate
  std::string key = {};           ///< and one with its key
  std::string key_password = {};
};

/// What producers and consumers have in common.
struct Settings {
  std::string endpoint;
  Sasl sasl;
  Tls tls;
  std::map<std::string, std::string> properties;
};

/// True for "host:port", several with commas between. Without a port it is 9092; an address of IPv6
/// stands in brackets.
inline bool is_broker_list(std::string_view list) noexcept {
  const auto is_broker = [](std::string_view text) {
    const std::size_t begin = text.find_first_not_of(' ');
    if (begin == text.npos) return false;
    text = text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
    const bool bracket = text.front() == '[';
    const std::size_t end = text.find(bracket ? ']' : ':');
    if (bracket && end == text.npos) return false;
    const std::string_view host = bracket ? text.substr(1, end - 1) : text.substr(0, end);
    if (host.empty() || host.find_first_of(" /@[]") != host.npos) return false;
    const std::string_view rest = end == text.npos ? "" : text.substr(end + (bracket ? 1 : 0));
    if (rest.empty()) return true;
    unsigned port = 0;
    const auto read = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
    return rest.front() == ':' && read.ec == std::errc{} && read.ptr == rest.data() + rest.size() &&
           port >= 1 && port <= 65535;
  };
  while (true) {
    const std::size_t comma = list.find(',');
    if (!is_broker(list.substr(0, comma))) return false;
    if (comma == list.npos) return true;
    list.remove_prefix(comma + 1);
  }
}

/// True when every broker of the list is on this machine. A pure function.
inline bool is_loopback(std::string_view list) noexcept {
  while (true) {
    const std::size_t comma = list.find(',');
    std::string_view broker = list.substr(0, comma);
    while (broker.starts_with(' ')) broker.remove_prefix(1);
    const std::string_view host = broker.substr(0, broker.find(':'));
    const bool local = host == "localhost" || broker.starts_with("[::1]") ||
                       (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
    if (!local) return false;
    if (comma == list.npos) return true;
    list.remove_prefix(comma + 1);
  }
}

/// What librdkafka calls. `log` is called on its threads, the rest from where it is polled.
class Callbacks {
 public:
  virtual void log(int level, std::string_view line) noexcept = 0;
  virtual void failed(rd_kafka_resp_err_t, std::string_view) noexcept {}
  virtual void rebalance(rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t&) noexcept {}
  virtual void committed(rd_kafka_resp_err_t, const rd_kafka_topic_partition_list_t*) noexcept {}
  virtual void reported(const rd_kafka_message_t&) noexcept {}

 protected:
  ~Callbacks() = default;
};

/// Blanks secrets out of a text; those that overlap, as one. A pure function.
inline std::string without_secrets(std::string_view text, const std::vector<std::string>& secrets) {
  std::vector<bool> hidden(text.size());
  for (const std::string& secret : secrets) {
    if (secret.empty()) continue;
    for (std::size_t at = text.find(secret); at != text.npos; at = text.find(secret, at + 1)) {
      for (std::size_t i = 0; i < secret.size(); ++i) hidden[at + i] = true;
    }
  }
  std::string clean;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!hidden[at]) {
      clean.push_back(text[at]);
    } else if (at == 0 || !hidden[at - 1]) {
      clean.append("***");
    }
  }
  return clean;
}

/// True for properties whose values nobody may see.
inline bool is_secret(std::string_view property) noexcept {
  for (const std::string_view part : {"password", "passphrase", "secret", "key.pem", "keystore",
                                      "oauthbearer.config", "credentials"}) {
    if (property.find(part) != std::string_view::npos) return true;
  }
  return false;
}

inline std::vector<std::string> secrets_of(const Settings& settings) {
  std::vector<std::string> secrets{settings.sasl.password, settings.tls.key_password};
  for (const auto& [name, value] : settings.properties) {
    if (is_secret(name)) secrets.push_back(value);
  }
  return secrets;
}

/// Builds a configuration of librdkafka.
/// Errors: std::invalid_argument names the property; it never shows a value that may be secret.
class ConfBuilder {
 public:
  ConfBuilder() : conf_{rd_kafka_conf_new()} {
    // Also where nobody listens: by itself librdkafka writes to the standard error.
    rd_kafka_conf_set_log_cb(conf_.get(), [](const rd_kafka_t* client, int level, const char* facility,
                                             const char* text) {
      auto* to = static_cast<Callbacks*>(rd_kafka_opaque(client));
      if (to == nullptr) return;
      to->log(level, std::string{text_of(facility)}.append(": ").append(text_of(text)));
    });
  }

  ConfBuilder& set(const std::string& name, const std::string& value) {
    names_.insert(canonical(name));
    put(name, value);
    return *this;
  }
  ConfBuilder& set(const std::string& name, Duration value) {
    return set(name, std::to_string(
                         std::chrono::duration_cast<std::chrono::milliseconds>(value).count()));
  }
  /// Sets it unless it is empty.
  ConfBuilder& set_if(const std::string& name, const std::string& value) {
    return value.empty() ? *this : set(name, value);
  }

  /// Sets it unless the user does.
  ConfBuilder& set_default(const std::map<std::string, std::string>& properties,
                           const std::string& name, const std::string& value) {
    if (!properties.contains(name)) put(name, value);
    return *this;
  }

  /// Nobody sets it.
  ConfBuilder& leave(const std::string& name) {
    names_.insert(canonical(name));
    return *this;
  }

  ConfBuilder& add(const Settings& settings) {
    leave("bootstrap.servers").set_if("bootstrap.servers", settings.endpoint);
    set("socket.nagle.disable", "true");
    set("reconnect.backoff.max.ms", std::chrono::seconds{1});
    // A request that has no answer in time ends its connection, and nothing else ends one that a network has
    // forgotten.
    set_default(settings.properties, "socket.timeout.ms", "10000");
    set_default(settings.properties, "socket.connection.setup.timeout.ms", "10000");
    const bool sasl = !settings.sasl.mechanism.empty();
    if (sasl) {
      set("sasl.mechanism", settings.sasl.mechanism);
      set("sasl.username", settings.sasl.user);
      set("sasl.password", settings.sasl.password);
    }
    if (settings.tls.on) {
      set("ssl.endpoint.identification.algorithm", "https");
      set_if("ssl.ca.location", settings.tls.ca);
      set_if("ssl.certificate.location", settings.tls.certificate);
      set_if("ssl.key.location", settings.tls.key);
      set_if("ssl.key.password", settings.tls.key_password);
    }
    if (sasl || settings.tls.on) {
      set("security.protocol", sasl ? (settings.tls.on ? "sasl_ssl" : "sasl_plaintext") : "ssl");
    }
    return *this;
  }

  /// Adds what the user wants besides. What has been set before stays as it is.
  ConfBuilder& add(const std::map<std::string, std::string>& properties) {
    std::set<std::string> theirs;
    for (const auto& [name, value] : properties) {
      if (names_.contains(canonical(name))) {
        throw std::invalid_argument{"omnibus: kafka: properties: \"" + name +
                                    "\" is a matter of omnibus, or of a field of the config"};
      }
      if (!theirs.insert(canonical(name)).second) {
        throw std::invalid_argument{"omnibus: kafka: properties: \"" + name +
                                    "\" is there twice, by another name too"};
      }
      put(name, value);
    }
    return *this;
  }

  ConfBuilder& call(Callbacks& callbacks) {
    rd_kafka_conf_set_opaque(conf_.get(), &callbacks);
    return *this;
  }
  ConfBuilder& serve_consumer() {
    rd_kafka_conf_set_error_cb(conf_.get(), [](rd_kafka_t*, int code, const char* why, void* to) {
      static_cast<Callbacks*>(to)->failed(static_cast<rd_kafka_resp_err_t>(code), text_of(why));
    });
    rd_kafka_conf_set_rebalance_cb(
        conf_.get(), [](rd_kafka_t*, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t* partitions, void* to) {
          static_cast<Callbacks*>(to)->rebalance(code, *partitions);
        });
    rd_kafka_conf_set_offset_commit_cb(
        conf_.get(), [](rd_kafka_t*, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t* offsets, void* to) {
          static_cast<Callbacks*>(to)->committed(code, offsets);
        });
    return *this;
  }
  ConfBuilder& serve_reports() {
    rd_kafka_conf_set_dr_msg_cb(conf_.get(), [](rd_kafka_t*, const rd_kafka_message_t* sent, void* to) {
      if (to != nullptr) static_cast<Callbacks*>(to)->reported(*sent);
    });
    return *this;
  }
  /// For a client that is made only to see whether it can be: it says nothing.
  ConfBuilder& quiet() {
    rd_kafka_conf_set_log_cb(conf_.get(), nullptr);
    return *this;
  }
  ConfBuilder& events(int kinds) {
    rd_kafka_conf_set_events(conf_.get(), kinds);
    return *this;
  }

  /// What has been set so far.
  const rd_kafka_conf_t* get() const noexcept { return conf_.get(); }
  /// Makes the client. Throws std::invalid_argument when the settings contradict each other.
  rd_kafka_t* make(rd_kafka_type_t type, const std::vector<std::string>& secrets) {
    char why[512];
    rd_kafka_t* client = rd_kafka_new(type, conf_.get(), why, sizeof why);
    if (client == nullptr) {
      throw std::invalid_argument{"omnibus: kafka: " + without_secrets(why, secrets)};
    }
    (void)conf_.release();  // the client has it now
    return client;
  }

 private:
  /// Properties that have several names (librdkafka's CONFIGURATION.md).
  static std::string canonical(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 10> aliases{
        {{"metadata.broker.list", "bootstrap.servers"},
         {"sasl.mechanisms", "sasl.mechanism"},
         {"request.required.acks", "acks"},
         {"queue.buffering.max.ms", "linger.ms"},
         {"delivery.timeout.ms", "message.timeout.ms"},
         {"max.in.flight", "max.in.flight.requests.per.connection"},
         {"enable.auto.commit", "auto.commit.enable"},
         {"compression.codec", "compression.type"},
         {"message.send.max.retries", "retries"},
         {"fetch.message.max.bytes", "max.partition.fetch.bytes"}}};
    for (const auto& [alias, meant] : aliases) {
      if (name == alias) return std::string{meant};
    }
    return std::string{name};
  }

  void put(const std::string& name, const std::string& value) {
    char why[512];
    switch (rd_kafka_conf_set(conf_.get(), name.c_str(), value.c_str(), why, sizeof why)) {
      case RD_KAFKA_CONF_OK: return;
      case RD_KAFKA_CONF_UNKNOWN:
        throw std::invalid_argument{"omnibus: kafka: librdkafka knows no property \"" + name + "\""};
      default:
        throw std::invalid_argument{"omnibus: kafka: property \"" + name + "\": " +
                                    (is_secret(name) ? without_secrets(why, {value}) : why)};
    }
  }

  Conf conf_;
  std::set<std::string> names_;
};

}  // namespace omnibus::kafka
