# The provider itself, since it is what writes the documents; it asks AWS for nothing in these plans.
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  prefix           = "marketlake-dev"
  region           = "eu-west-1"
  lake_bucket      = "the-lake"
  lake_path        = "lake"
  artifacts_bucket = "the-artifacts"
  logs_bucket      = "the-logs"
  kms_key_arns     = ["arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"]
  stream_arns      = { trade = "arn:aws:kinesis:eu-west-1:123456789012:stream/marketlake-dev-market.trades" }
  cost_tags        = { project = "marketlake", environment = "dev" }
}

run "no_data_by_a_star" {
  command = plan
  module {
    source = "./modules/iam"
  }

  assert {
    condition = alltrue(flatten([
      for document in [data.aws_iam_policy_document.node.json, data.aws_iam_policy_document.submit.json, data.aws_iam_policy_document.operate.json, data.aws_iam_policy_document.read.json, data.aws_iam_policy_document.scaling.json] : [
        for statement in jsondecode(document).Statement :
        !contains(flatten([statement.Resource]), "*")
        || alltrue([for action in flatten([statement.Action]) : contains(["cloudwatch:PutMetricData", "elasticmapreduce:ListClusters"], action)])
      ]
    ]))
    error_message = "Only what knows no resource may name all of them."
  }
  assert {
    condition     = length(regexall("\"[a-z0-9]+:\\*\"", data.aws_iam_policy_document.node.json)) == 0
    error_message = "No service as a whole."
  }
  assert {
    condition     = length(regexall("kafka-cluster|glue|StreamConsumer", data.aws_iam_policy_document.node.json)) == 0
    error_message = "No right to what is not there."
  }
}

run "consumers_of_ours_alone" {
  command = plan
  module {
    source = "./modules/iam"
  }
  variables {
    fan_out = true
  }

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.node.json).Statement :
      flatten([statement.Resource]) if contains(flatten([statement.Action]), "kinesis:SubscribeToShard")
    ] == [["arn:aws:kinesis:eu-west-1:123456789012:stream/marketlake-dev-market.trades/consumer/marketlake-dev*"]]
    error_message = "Consumers whose names begin with the prefix, of the environment's streams."
  }
}

run "kafka_and_glue_where_they_are" {
  command = plan
  module {
    source = "./modules/iam"
  }
  variables {
    kafka_arn    = "arn:aws:kafka:eu-west-1:123456789012:cluster/marketlake-dev-kafka/1"
    glue_catalog = true
  }

  assert {
    condition     = strcontains(data.aws_iam_policy_document.node.json, "arn:aws:kafka:eu-west-1:123456789012:topic/marketlake-dev-kafka/1/*")
    error_message = "Topics of that cluster alone."
  }
  assert {
    condition     = strcontains(data.aws_iam_policy_document.node.json, "database/marketlake_dev_*")
    error_message = "Databases of that environment alone."
  }
}
