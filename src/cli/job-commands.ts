import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { JobSchema, type JobState, JobState as JobStates, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import {
  JobServiceAddResponseSchema,
  JobServiceDeleteResponseSchema,
  JobServicePauseResponseSchema,
  JobServicePreviewRequestSchema,
  JobServicePreviewResponseSchema,
  JobServiceResumeResponseSchema,
  JobServiceTriggerResponseSchema,
  MissedPolicy,
  OnRunning,
} from '../../gen/carillon/v1/job_service_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import {
  type DefinitionOptions,
  declareDefinitionOptions,
  declareParameterOptions,
  declareScheduleOptions,
  jobFrom,
  type ParameterOptions,
  parametersFrom,
  type ScheduleOptions,
  schedulesFrom,
} from './definition-options.ts';
import { executionSummary } from './execution-lines.ts';
import { jobProperties, jobRow, jobSummary, jobTitles, previewRows, previewTitles } from './job-lines.ts';
import { type JobOptions, jobCommand, jobRefFrom } from './job-name.ts';
import {
  durationFromText,
  enumFromText,
  instantFromText,
  integerFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';
import { takePages } from './pages.ts';
