mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  prefix      = "marketlake-dev"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "on_demand_encrypted_and_named_as_the_stream_job_looks_for_them" {
  command = plan
  module {
    source = "./modules/streams"
  }

  assert {
    condition = tomap(output.stream_names) == tomap({
      trade = "marketlake-dev-market.trades", quote = "marketlake-dev-market.quotes"
      book  = "marketlake-dev-market.books", bar = "marketlake-dev-market.bars"
    })
    error_message = "PREFIX.topic, as kinesis:REGION/PREFIX reads them."
  }
  assert {
    condition     = alltrue([for stream in values(aws_kinesis_stream.this) : stream.encryption_type == "KMS" && one(stream.stream_mode_details).stream_mode == "ON_DEMAND"])
    error_message = "Encrypted, and on demand by default."
  }
  assert {
    condition     = output.kafka_bootstrap == null && length(aws_msk_cluster.kafka) == 0
    error_message = "No MSK unless it is asked for."
  }
}

run "provisioned_where_shards_are_named" {
  command = plan
  module {
    source = "./modules/streams"
  }
  variables {
    shards = { trade = 4, quote = 8, book = 2, bar = 1 }
  }

  assert {
    condition     = aws_kinesis_stream.this["quote"].shard_count == 8 && one(aws_kinesis_stream.this["quote"].stream_mode_details).stream_mode == "PROVISIONED"
    error_message = "As many shards as were named."
  }
}

run "shards_of_all_four_or_none" {
  command = plan
  module {
    source = "./modules/streams"
  }
  variables {
    shards = { trade = 4 }
  }

  expect_failures = [var.shards]
}

run "kafka_by_iam_over_tls_alone" {
  module {
    source = "./modules/streams"
  }
  variables {
    kafka = { vpc_id = "vpc-1", vpc_cidr = "10.40.0.0/16", subnet_ids = ["subnet-1", "subnet-2", "subnet-3"] }
  }

  assert {
    condition     = one(one(aws_msk_cluster.kafka[0].client_authentication).sasl).iam && !one(aws_msk_cluster.kafka[0].client_authentication).unauthenticated
    error_message = "Nobody unknown."
  }
  assert {
    condition     = one(one(aws_msk_cluster.kafka[0].encryption_info).encryption_in_transit).client_broker == "TLS"
    error_message = "Nothing in the clear."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.kafka[0].from_port == 9098 && aws_vpc_security_group_ingress_rule.kafka[0].to_port == 9098
    error_message = "The port of IAM and no other."
  }
  assert {
    condition     = output.kafka_bootstrap == "b-1.example:9098,b-2.example:9098"
    error_message = "Brokers for clients with IAM."
  }
}

run "kafka_in_two_zones_is_refused" {
  command = plan
  module {
    source = "./modules/streams"
  }
  variables {
    kafka = { vpc_id = "vpc-1", vpc_cidr = "10.40.0.0/16", subnet_ids = ["subnet-1", "subnet-2"] }
  }

  expect_failures = [aws_msk_cluster.kafka]
}
