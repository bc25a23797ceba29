-- Prosody 0.12 as a rival: what a chat user of today needs, and no limits. scripts/rivals fills in what begins with a dollar sign.
-- Not in the foreground's way: no pid file, no daemon, all of it in a folder of its own.
daemonize = false
data_path = "$folder/data"
log = { warn = "$folder/prosody.log" }
certificates = "$folder/certs"

interfaces = { "127.0.0.1" }
c2s_ports = { $c2s_port }
c2s_direct_tls_ports = { $c2s_tls_port }
s2s_ports = { }
s2s_direct_tls_ports = { }
network_settings = { tcp_backlog = 4096 }

-- What it does by itself is another speed and threshold; the FAQ of the project recommends these for busy servers. GC=default leaves them out.
$gc

-- Plaintext is what is measured beside TLS; mechanisms are SCRAM in both.
c2s_require_encryption = false
allow_unencrypted_plain_auth = false
ssl = { key = "$key", certificate = "$certificate" }
authentication = "internal_hashed"
-- As many as the others have; its default is 10,000.
default_iteration_count = 4096

allow_registration = true

-- mod_limits is not among them: no byte rates.
modules_disabled = { "s2s", "s2s_auth_certs" }
modules_enabled = {
    "blocklist", "carbons", "csi_simple", "disco", "lastactivity", "pep", "ping", "private", "register", "roster", "saslauth", "smacks", "tls",
    "vcard4", "vcard_legacy", "version", $offline $archive
}

storage = "internal"
$storage

VirtualHost "$domain"
