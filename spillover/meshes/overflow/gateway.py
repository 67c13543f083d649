"""What stands at a site's gateway: the filters of its doors, the order of attempts, the buckets, the grants."""

from __future__ import annotations

from spillover.meshes.overflow import envoy
from spillover.meshes.overflow.classes import counters
from spillover.meshes.overflow.site import (
    CLIENT_PORT,
    GATEWAY_LABELS,
    GATEWAY_NAMESPACE,
    HOME_PORT,
    LAST_PORT,
    PEER_PORT,
    PING_INTERVAL_MS,
    REFUSED_HEADER,
    RETRY_AFTER_S,
    Manifest,
    OverflowSite,
)

SPILL_HEADER = "x-spillover-spill"
OWN_HEADERS = (SPILL_HEADER, REFUSED_HEADER, "x-spillover-origin")
BUCKET_FILTER, SPILL_FILTER, GRANTS_FILTER = "spillover.bucket", "spillover.spill", "spillover.grants"
ORDER_NAMESPACE = "spillover.order"
IDEMPOTENT_METHODS = "GET|HEAD|OPTIONS|PUT|DELETE"

_RETRY_ON = "connect-failure,refused-stream,reset-before-request,retriable-headers,envoy-ratelimited"

_MOST_DRAWS = 1000
"""Another peer than those tried is drawn by weight, and one with a weight of 1 beside 100 comes up once in 101.

Istio's five draws would end at the peer that has just refused, and home would get what this one has room for.
"""

_NOBODY = ["UH", "UF"]
"""Response flags of Envoy's own answers: no healthy host, or none that took the connection. Nothing was begun."""

_SPILL_LUA = f"""\
-- How long the body will be nobody knows. A call of gRPC never says it, and is short or a stream that stays.
local function streams(headers)
  local method = headers:get(":method")
  local body = method == "POST" or method == "PUT" or method == "PATCH"
  return body and (headers:get("content-type") or ""):find("application/grpc", 1, true) ~= 1
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local spilled = headers:get("{SPILL_HEADER}") ~= nil
  local order = handle:metadata():get(spilled and "spilled" or "kept")
  local length = tonumber(headers:get("content-length") or "")
  if length == nil and streams(headers) then
    length = math.huge
  end
  if (length or 0) > (handle:metadata():get("largest_body_bytes") or math.huge) then
    order = handle:metadata():get("large")
  end
  if order ~= nil then
    handle:streamInfo():dynamicMetadata():set("{ORDER_NAMESPACE}", "priority_groups", order)
    handle:clearRouteCache()
  end
end
"""


def doors(site: OverflowSite) -> Manifest:
    """Return the filters of a gateway's doors. But for counting they do nothing to a virtual host without numbers.

    What each door says by itself of a place that has no replica, or none that takes a connection, bears our mark.
    """
    strip = {
        "name": "spillover.strip",
        "typed_config": {
            "@type": f"{envoy.HTTP}.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [{"remove": header} for header in OWN_HEADERS]},
        },
    }
    bucket = {
        "name": BUCKET_FILTER,
        "typed_config": {"@type": f"{envoy.HTTP}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "spillover_bucket"},
    }
    spill = {
        "name": SPILL_FILTER,
        "typed_config": {
            "@type": f"{envoy.HTTP}.lua.v3.Lua",
            "default_source_code": {"inline_string": _SPILL_LUA},
        },
    }
    grants = {
        "name": GRANTS_FILTER,
        "typed_config": {"@type": f"{envoy.HTTP}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "spillover_grants"},
    }
    # A guest that finds no replica here, or none that takes its connection, was not begun: it may be tried elsewhere.
    down = envoy.local_reply(_NOBODY, {REFUSED_HEADER: "down"})
    guests = _manager(
        PEER_PORT, {"http2_protocol_options": {"allow_connect": True}, "local_reply_config": {"mappers": [down]}}
    )
    # A client that every attempt has failed is told so, and when to come again. What an application answers is its own.
    failed = envoy.local_reply(_NOBODY, {REFUSED_HEADER: "down", "retry-after": str(RETRY_AFTER_S)})
    clients = _manager(CLIENT_PORT, {"local_reply_config": {"mappers": [failed]}})
    return envoy.envoy_filter(
        "spillover-doors",
        GATEWAY_NAMESPACE,
        GATEWAY_LABELS,
        [
            # Each goes before those in front of it.
            *([envoy.http_filter(CLIENT_PORT, "INSERT_FIRST", counters(site.classes))] if site.classes else []),
            envoy.http_filter(CLIENT_PORT, "INSERT_FIRST", strip),
            # Before the router, and so after what may refuse: a refused request takes no token.
            envoy.http_filter(CLIENT_PORT, "INSERT_BEFORE", bucket),
            envoy.http_filter(CLIENT_PORT, "INSERT_BEFORE", spill),
            envoy.http_filter(PEER_PORT, "INSERT_BEFORE", grants),
            guests,
            clients,
        ],
    )


def _manager(port: int, settings: Manifest) -> Manifest:
    """Return a patch that merges settings into the connection manager of a gateway's port."""
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {
            "context": "GATEWAY",
            "listener": {"portNumber": port, "filterChain": {"filter": {"name": envoy.MANAGER}}},
        },
        "patch": {
            "operation": "MERGE",
            "value": {"typed_config": {"@type": envoy.MANAGER_TYPE, **settings}},
        },
    }


def routes(site: OverflowSite) -> Manifest:
    """Return the clients' routes; where an attempt really goes is said by `attempts`, which merges into these."""
    home = [{"destination": {"host": site.service, "port": {"number": HOME_PORT}}}]
    attempts = len(site.peers) + 1  # after the first: each peer once, then home as the last resort
    safe = f"{_RETRY_ON},reset"
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": site.application, "namespace": site.namespace},
        "spec": {
            "hosts": [site.host],
            "gateways": [f"{GATEWAY_NAMESPACE}/client"],
            "http": [
                {
                    "name": "spill-idempotent",
                    "match": [{"method": {"regex": IDEMPOTENT_METHODS}}],
                    "retries": {"attempts": attempts, "retryOn": safe},
                    "route": home,
                },
                # A request that was begun may have done its work: begun again, it would do it twice.
                {"name": "spill", "retries": {"attempts": attempts, "retryOn": _RETRY_ON}, "route": home},
            ],
        },
    }


def attempts(site: OverflowSite) -> Manifest:
    """Return the order of attempts, and the bucket that decides which order."""
    home = f"outbound|{HOME_PORT}||{site.service}"
    last = f"outbound|{LAST_PORT}||{site.application}-last.{site.namespace}.svc.cluster.local"
    peers = f"outbound|443||{site.peers_host}"

    def group(name: str, cluster: str) -> Manifest:
        return {"name": name, "clusters": [{"cluster_name": cluster, "weight": 1}]}

    each_peer = [{"name": "peers"}] * len(site.peers)
    kept, spilled = [{"name": "home"}, *each_peer, {"name": "last"}], [*each_peer, {"name": "last"}]
    specifier = {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3"
        ".PriorityGroupClusterSpecifier",
        "value": {
            "priority_groups": [group("home", home), group("peers", peers), group("last", last)],
            "override_metadata_namespace": ORDER_NAMESPACE,
        },
    }
    route = {
        "metadata": {
            "filter_metadata": {
                SPILL_FILTER: {
                    "kept": kept,
                    "spilled": spilled,
                    "large": [{"name": "last"}],
                    "largest_body_bytes": site.largest_body_bytes,
                }
            }
        },
        "request_body_buffer_limit": site.largest_body_bytes,
        "route": {
            "inline_cluster_specifier_plugin": {
                "extension": {"name": "envoy.router.cluster_specifier_plugin.priority_group", "typed_config": specifier}
            },
            "retry_policy": {
                "refresh_cluster_on_retry": True,
                "retriable_headers": [{"name": REFUSED_HEADER, "present_match": True}],
                "host_selection_retry_max_attempts": _MOST_DRAWS,
                # A refusal is no sign of trouble to wait for: the next attempt is elsewhere.
                "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
            },
        },
    }
    bucket = {
        "@type": f"{envoy.HTTP}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "spillover_bucket",
        "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "1s"},
        "filter_enabled": envoy.percent(100),
        # Nothing is refused here: what has no token is marked.
        "filter_enforced": envoy.percent(0),
        "request_headers_to_add_when_not_enforced": [envoy.header(SPILL_HEADER, "1")],
    }
    allow_connect = {
        "applyTo": "CLUSTER",
        "match": {"context": "GATEWAY", "cluster": {"service": site.peers_host}},
        "patch": {
            "operation": "MERGE",
            "value": {
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {
                            "http2_protocol_options": {
                                # WebSocket over HTTP/2.
                                "allow_connect": True,
                                # A peer that was cut off is noticed by this, not by the requests that wait for it.
                                "connection_keepalive": {
                                    "interval": f"{PING_INTERVAL_MS / 1000}s",
                                    "timeout": f"{site.peer_silence_ms / 1000}s",
                                    "interval_jitter": {"value": 0},
                                },
                            }
                        },
                    }
                }
            },
        },
    }
    return envoy.envoy_filter(
        f"{site.object_name}-attempts",
        GATEWAY_NAMESPACE,
        GATEWAY_LABELS,
        [
            envoy.merge_into_host(
                "VIRTUAL_HOST", CLIENT_PORT, site.host, {"typed_per_filter_config": {BUCKET_FILTER: bucket}}
            ),
            envoy.merge_into_host("HTTP_ROUTE", CLIENT_PORT, site.host, route),
            allow_connect,
        ],
    )


def grants(site: OverflowSite) -> Manifest:
    """Return a bucket for each origin at the peers' door; whoever is no linked origin has next to nothing."""
    identity = {
        "extension": {
            "name": "envoy.rate_limit_descriptors.expr",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor",
                "descriptor_key": "origin",
                "text": "connection.uri_san_peer_certificate",
            },
        }
    }
    grants = {
        "@type": f"{envoy.HTTP}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "spillover_grants",
        "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
        "always_consume_default_token_bucket": False,
        "filter_enabled": envoy.percent(100),
        "filter_enforced": envoy.percent(100),
        "rate_limits": [{"actions": [identity]}],
        "descriptors": [
            {
                "entries": [{"key": "origin", "value": site.origins[origin]}],
                "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "1s"},
            }
            for origin in sorted(site.origins)
        ],
        "response_headers_to_add": [envoy.header(REFUSED_HEADER, "grant")],
    }
    return envoy.envoy_filter(
        f"{site.object_name}-grants",
        GATEWAY_NAMESPACE,
        GATEWAY_LABELS,
        [
            envoy.merge_into_host(
                "VIRTUAL_HOST", PEER_PORT, site.host, {"typed_per_filter_config": {GRANTS_FILTER: grants}}
            )
        ],
    )
